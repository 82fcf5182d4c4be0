import { render } from 'lit-html'
import { failure } from './failure.js'
import { watchAssets } from './assets.js'
import { watchServer } from './server.js'

const byTest = (id) => document.querySelector(`[data-testid="${id}"]`)

// answer runs work when button is pressed and shows its outcome in place.
function answer(button, place, what, work) {
  button.addEventListener('click', async () => {
    button.disabled = true
    place.setAttribute('aria-busy', 'true')
    try {
      render(await work(), place)
    } catch (error) {
      render(failure(what, error), place)
    } finally {
      place.removeAttribute('aria-busy')
      button.disabled = false
      askServer()
    }
  })
}

watchAssets(byTest('log'))
const askServer = watchServer(byTest('server-release'))

answer(byTest('lazy-button'), document.getElementById('lazy'), 'The lazy panel', async () => {
  const { panel } = await import('#release/panel.js')
  return panel()
})

answer(byTest('worker-button'), document.getElementById('worker'), 'The worker', async () => {
  const { highestTide } = await import('./tides.js')
  return highestTide()
})
