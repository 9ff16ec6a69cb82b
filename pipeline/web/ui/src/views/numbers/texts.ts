export const texts = {
  en: {
    "numbers.title": "Numbers",
  },
  de: {
    "numbers.title": "Zahlen",
  },
};
