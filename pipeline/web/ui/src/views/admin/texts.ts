export const texts = {
  en: {
    "admin.title": "Administration",
  },
  de: {
    "admin.title": "Verwaltung",
  },
};
