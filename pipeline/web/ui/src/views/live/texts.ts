export const texts = {
  en: {
    "live.title": "Live",
  },
  de: {
    "live.title": "Live",
  },
};
