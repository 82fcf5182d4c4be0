import './storms.css'
import src from './storms.svg'
import { picture } from '../src/picture.js'

export async function enhance(main) {
  main.querySelector('.art').append(await picture(src))
}
