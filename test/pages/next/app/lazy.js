export const build = process.env.BUILD;
