import { html, render } from 'lit-html'

const root = new URL('./', document.baseURI).href
const name = (url) => (url.startsWith(root) ? url.slice(root.length) || './' : url)
const kilobytes = (n) => (n ? `${(n / 1000).toFixed(1)} kB` : '')

function origin(entry) {
  if (entry.responseStatus >= 400) return 'refused'
  if (entry.deliveryType === 'cache' || (entry.transferSize === 0 && entry.decodedBodySize > 0)) return 'cache'
  return entry.transferSize < entry.encodedBodySize ? 'cache, checked' : 'network'
}

const row = (entry) => {
  const bad = entry.responseStatus >= 400 || entry.responseStatus === 0
  return html`<tr class=${bad ? 'bad' : ''}>
    <td>${entry.responseStatus || 'failed'}</td>
    <td class="file">${name(entry.name)}</td>
    <td>${bad ? '' : origin(entry)}</td>
    <td class="size">${kilobytes(entry.decodedBodySize)}</td>
  </tr>`
}

// watchAssets lists in body every file the page has loaded, the page first.
export function watchAssets(body) {
  const entries = new Map()
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      // The page's own entry is told twice, when it is buffered and when it is complete.
      if (entry.initiatorType !== 'fetch') entries.set(`${entry.startTime} ${entry.name}`, entry)
    }
    render([...entries.values()].sort((a, b) => a.startTime - b.startTime).map(row), body)
  })
  for (const type of ['navigation', 'resource']) observer.observe({ type, buffered: true })
}
