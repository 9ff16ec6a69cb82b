export const texts = {
  en: {
    "events.title": "Events",
  },
  de: {
    "events.title": "Ereignisse",
  },
};
