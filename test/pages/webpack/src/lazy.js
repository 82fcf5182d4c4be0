export const build = BUILD;
