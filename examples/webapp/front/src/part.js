import './part.css'
import { picture } from './picture.js'
import { version } from './version.js'

// part shows a text and a picture in place.
export async function part(place, src, text) {
  const image = await picture(src)
  const paragraph = document.createElement('p')
  paragraph.className = 'part'
  paragraph.dataset.version = version
  paragraph.textContent = text
  place.replaceChildren(image, paragraph)
}
