import './home.css'
import src from './home.svg'
import { picture } from '../picture.js'

export async function enhance(main) {
  main.querySelector('.art').append(await picture(src))
}
