export default {
  output: "export", distDir: process.env.OUT, env: { BUILD: process.env.BUILD }, assetPrefix: process.env.PREFIX || undefined,
  generateBuildId: () => "build" + process.env.BUILD, experimental: { cpus: 1, externalDir: true },
};
