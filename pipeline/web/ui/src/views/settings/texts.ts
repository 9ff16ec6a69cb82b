export const texts = {
  en: {
    "account.sign_out": "Sign out",
    "account.old": "Present password",
    "account.new": "New password",
    "account.new_hint": "At least 12 characters. All your other sessions end.",
    "account.change": "Change the password",
    "account.changed": "The password is changed; all other sessions have ended.",
  },
  de: {
    "account.sign_out": "Abmelden",
    "account.old": "Jetziges Passwort",
    "account.new": "Neues Passwort",
    "account.new_hint": "Mindestens 12 Zeichen. Alle anderen Sitzungen enden.",
    "account.change": "Passwort ändern",
    "account.changed": "Das Passwort ist geändert; alle anderen Sitzungen sind beendet.",
  },
};
