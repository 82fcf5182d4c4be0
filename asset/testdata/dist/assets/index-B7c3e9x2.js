import { show } from "./vendor-Dk4q8w1z.js";
show(document.querySelector("#app"), "Welcome to the shop");
