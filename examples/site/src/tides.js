import { html } from 'lit-html'

// Longer than any computation takes: a worker whose script never comes says nothing.
const patience = 30_000

function ask() {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data)
    // A script that cannot be fetched gives an event without a message.
    worker.onerror = (event) => reject(new Error(event.message || 'Failed to fetch the script of the worker.'))
    setTimeout(reject, patience, new Error('The worker did not answer.'))
    worker.postMessage('a year of tides')
  }).finally(() => worker.terminate())
}

export async function highestTide() {
  const { release, constituents, minutes, height, day, milliseconds } = await ask()
  return html`
    <p class="result" data-testid="worker-text">
      The worker of release ${release} added up ${constituents} tidal waves
      for ${minutes.toLocaleString('en')} minutes. The highest tide is ${height.toFixed(2)} m, on day ${day}.
    </p>
    <p class="small">${milliseconds} ms</p>`
}
