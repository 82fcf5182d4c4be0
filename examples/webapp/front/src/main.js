import './style.css'
import '#version/theme.css'
import { pages } from '#version/pages.js'
import { version } from './version.js'

// Parts are fetched when they are asked for: minutes or days after the page was.
const parts = import.meta.glob('./parts/*.js')

const root = document.documentElement

for (const button of document.querySelectorAll('button[data-part]')) {
  button.addEventListener('click', () => open(button.dataset.part, button.nextElementSibling))
}

async function open(part, place) {
  try {
    const { show } = await parts[`./parts/${part}.js`]()
    await show(place)
    place.dataset.state = 'complete'
  } catch (error) {
    place.textContent = 'This part cannot be shown.'
    place.dataset.state = `failed: ${error.message}`
  }
}

// The page says what it runs, and when all of it is there.
try {
  root.dataset.script = version
  const { enhance } = await pages[document.body.dataset.page]()
  await enhance(document.querySelector('main'))
  await document.fonts.ready
  root.dataset.state ??= 'complete'
} catch (error) {
  root.dataset.state = `failed: ${error.message}`
}
