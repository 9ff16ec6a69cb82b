import { render } from "preact";
import { startKeys } from "./app/keys.ts";
import { startPush } from "./app/push.ts";
import { path, startRouter } from "./app/router.ts";
import { startSession } from "./app/session.ts";
import { keepPages } from "./app/installed.ts";
import { startSettings } from "./app/settings.ts";
import { Shell } from "./app/shell.tsx";
import { viewOf } from "./app/views.ts";
import "./styles/font.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";

startSettings();
startRouter();
startKeys();
startSession();
// The view comes while it is asked who visits; where it does not, the view itself says so.
viewOf(path.value)
  ?.load()
  .catch(() => undefined);
keepPages();
startPush();
const root = document.getElementById("app");
if (root) render(<Shell />, root);
