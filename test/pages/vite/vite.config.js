export default {
  base: process.env.BASE ?? "./",
  build: {
    assetsInlineLimit: 0, target: "esnext", emptyOutDir: true,
    rollupOptions: { output: { entryFileNames: "assets/[name].js", chunkFileNames: "assets/[name].js", assetFileNames: "assets/[name][extname]" } },
  },
  worker: { format: "es", rollupOptions: { output: { entryFileNames: "assets/[name].js" } } },
};
