export const texts = {
  en: {
    "health.title": "Health",
  },
  de: {
    "health.title": "Zustand",
  },
};
