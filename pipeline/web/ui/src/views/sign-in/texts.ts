export const texts = {
  en: {
    "sign-in.title": "Sign in",
  },
  de: {
    "sign-in.title": "Anmelden",
  },
};
