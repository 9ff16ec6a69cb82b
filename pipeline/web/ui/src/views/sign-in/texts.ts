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
    "sign-in.at_provider": "Sign in with {label}",
    "sign-in.or": "or",
    "sign-in.problem.away":
      "The service for signing in does not answer as it should. Try again in a moment; the log of the application says more.",
    "sign-in.problem.busy": "Many are signing in at the moment. Try again.",
    "sign-in.problem.stale":
      "This sign-in was begun too long ago, or in another browser. Begin again here.",
    "sign-in.problem.refused": "The service for signing in has not let you in.",
    "sign-in.problem.unproven":
      "What the service for signing in has said cannot be trusted. Try again; the log of the application says why.",
    "sign-in.problem.no_role":
      "None of your groups may use this application. Ask whoever looks after it.",
    "sign-in.problem.too_many": "Too many attempts have failed. Try again in a few minutes.",
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
    "sign-in.at_provider": "Anmelden mit {label}",
    "sign-in.or": "oder",
    "sign-in.problem.away":
      "Der Anmeldedienst antwortet nicht, wie er soll. Versuchen Sie es gleich noch einmal; mehr sagt das Protokoll der Anwendung.",
    "sign-in.problem.busy": "Gerade melden sich viele an. Versuchen Sie es noch einmal.",
    "sign-in.problem.stale":
      "Diese Anmeldung wurde vor zu langer Zeit oder in einem anderen Browser begonnen. Beginnen Sie hier noch einmal.",
    "sign-in.problem.refused": "Der Anmeldedienst hat Sie nicht hereingelassen.",
    "sign-in.problem.unproven":
      "Was der Anmeldedienst sagt, ist nicht vertrauenswürdig. Versuchen Sie es noch einmal; den Grund nennt das Protokoll der Anwendung.",
    "sign-in.problem.no_role":
      "Keine Ihrer Gruppen darf diese Anwendung benutzen. Fragen Sie, wer sie betreut.",
    "sign-in.problem.too_many":
      "Zu viele Versuche sind gescheitert. Versuchen Sie es in ein paar Minuten noch einmal.",
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
