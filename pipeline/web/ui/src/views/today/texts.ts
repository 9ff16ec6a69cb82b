export const texts = {
  en: {
    "today.title": "Today",
  },
  de: {
    "today.title": "Heute",
  },
};
