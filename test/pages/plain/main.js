export const build = "BUILD";
