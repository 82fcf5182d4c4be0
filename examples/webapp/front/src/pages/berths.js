import './berths.css'
import src from './berths.svg'
import { picture } from '../picture.js'

export async function enhance(main) {
  main.querySelector('.art').append(await picture(src))
}
