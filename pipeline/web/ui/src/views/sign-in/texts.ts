export const texts = {
  en: {
    "sign-in.title": "Sign in",
    "sign-in.name": "Name",
    "sign-in.password": "Password",
    "sign-in.act": "Sign in",
    "sign-in.busy": "Signing in…",
    "sign-in.needs_set_up":
      "There are no users yet. The first one is made by the link that `moonwatch web` has shown in its terminal, or by `moonwatch user add`.",
    "sign-in.not_encrypted":
      "This connection is not encrypted: whoever is in the same network can read the password and the pictures.",
    "set-up.title": "The first user",
    "set-up.text": "Whoever you make here is an admin, and can make others.",
    "set-up.no_link":
      "The link is not whole. Copy it again from the terminal, as one line, or start `moonwatch web` again for another.",
    "set-up.password_hint": "At least 12 characters: four words that have nothing to do with each other.",
    "set-up.again": "The password again",
    "set-up.differ": "These are two different passwords.",
    "set-up.act": "Make the user",
    "set-up.done": "There is a user already.",
    "set-up.to_sign_in": "Sign in",
  },
  de: {
    "sign-in.title": "Anmelden",
    "sign-in.name": "Name",
    "sign-in.password": "Passwort",
    "sign-in.act": "Anmelden",
    "sign-in.busy": "Wird angemeldet…",
    "sign-in.needs_set_up":
      "Es gibt noch keine Benutzer. Den ersten legt der Link an, den `moonwatch web` im Terminal gezeigt hat, oder `moonwatch user add`.",
    "sign-in.not_encrypted":
      "Diese Verbindung ist nicht verschlüsselt: Wer im selben Netz ist, kann das Passwort und die Bilder mitlesen.",
    "set-up.title": "Der erste Benutzer",
    "set-up.text": "Wer hier angelegt wird, verwaltet alles und kann andere anlegen.",
    "set-up.no_link":
      "Der Link ist nicht vollständig. Kopieren Sie ihn noch einmal als eine Zeile aus dem Terminal, oder starten Sie `moonwatch web` für einen neuen.",
    "set-up.password_hint": "Mindestens 12 Zeichen: vier Wörter, die nichts miteinander zu tun haben.",
    "set-up.again": "Das Passwort noch einmal",
    "set-up.differ": "Das sind zwei verschiedene Passwörter.",
    "set-up.act": "Benutzer anlegen",
    "set-up.done": "Es gibt schon einen Benutzer.",
    "set-up.to_sign_in": "Anmelden",
  },
};
