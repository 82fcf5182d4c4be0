import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

// RELEASE picks the sources in src/release-<n>; everything else is shared.
const headlines = { 1: 'Low tide', 2: 'High tide' }
const release = process.env.RELEASE
if (!(release in headlines)) {
  throw new Error(`RELEASE is ${JSON.stringify(release)}: want ${Object.keys(headlines).join(' or ')}`)
}

// The licences of what ends up in the build ask to travel with it.
const licences = {
  name: 'licences',
  generateBundle() {
    const of = (name) => `${name}\n\n${readFileSync(here(`node_modules/${name}/LICENSE`), 'utf8').trim()}\n`
    const source = ['@fontsource/bricolage-grotesque', 'lit-html'].map(of).join('\n\n')
    this.emitFile({ type: 'asset', fileName: 'licences.txt', source })
  },
}

export default defineConfig({
  // Relative: the same files work at the root, below a mount and under /@<release>/.
  base: './',
  plugins: [licences],
  resolve: { alias: { '#release': here(`src/release-${release}`) } },
  define: {
    'import.meta.env.RELEASE': JSON.stringify(release),
    'import.meta.env.HEADLINE': JSON.stringify(headlines[release]),
  },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // every asset is a request, or there is nothing to see
    manifest: true,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: ['index.html', 'about.html', '404.html'].map(here),
      output: {
        codeSplitting: {
          groups: [{ name: 'vendor', test: /node_modules|vite[/\\]preload-helper/ }],
        },
      },
    },
  },
})
