import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

// VERSION picks the sources in version-<n>; everything else is shared.
const version = process.env.VERSION
if (version !== '1' && version !== '2') {
  throw new Error(`VERSION is ${JSON.stringify(version)}: want 1 or 2`)
}

// The licence of the font asks to travel with it.
const licences = {
  name: 'licences',
  generateBundle() {
    const name = '@fontsource/bricolage-grotesque'
    const text = readFileSync(here(`node_modules/${name}/LICENSE`), 'utf8').trim()
    this.emitFile({ type: 'asset', fileName: 'licences.txt', source: `${name}\n\n${text}\n` })
  },
}

export default defineConfig({
  base: './', // relative: scripts find each other in their own release
  publicDir: `version-${version}/public`,
  plugins: [licences],
  resolve: { alias: { '#version': here(`version-${version}`) } },
  define: { 'import.meta.env.VERSION': JSON.stringify(version) },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // every file is a request, or there is nothing to see
    manifest: 'manifest.json',
    modulePreload: { polyfill: false },
    rolldownOptions: { input: here('src/main.js') },
  },
})
