import './about.css'
import src from './about.svg'
import { picture } from '../picture.js'

export async function enhance(main) {
  main.querySelector('.art').append(await picture(src))
}
