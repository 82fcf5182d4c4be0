import "./style.css";
import pic from "./pic.svg";
import { report } from "../../report.js";
document.querySelector("img").src = pic;
import("./lazy.js").then((lazy) => {
  const worker = new Worker(new URL("./worker.js", import.meta.url));
  report({ script: BUILD, lazy: lazy.build, worker });
});
