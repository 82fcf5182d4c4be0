import "./style.css";
import { report } from "../report.js";
const lazy = await import("./lazy.js");
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
report({ script: import.meta.env.VITE_BUILD, lazy: lazy.build, worker });
