import { render } from "preact";
import { startRouter } from "./app/router.ts";
import { startSession } from "./app/session.ts";
import { startSettings } from "./app/settings.ts";
import { Shell } from "./app/shell.tsx";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";

startSettings();
startRouter();
startSession();
const root = document.getElementById("app");
if (root) render(<Shell />, root);
