import "./lazy.css";
export const build = import.meta.env.VITE_BUILD;
