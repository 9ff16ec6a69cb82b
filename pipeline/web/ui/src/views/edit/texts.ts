export const texts = {
  en: {
    "edit.title": "Lines and zones",
  },
  de: {
    "edit.title": "Linien und Zonen",
  },
};
