import { draw } from "./draw-Kq8zLm2x.js";
draw(document.querySelector("#chart"), "chart");
