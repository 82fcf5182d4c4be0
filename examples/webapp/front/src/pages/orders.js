import './orders.css'
import src from './orders.svg'
import { picture } from '../picture.js'

export async function enhance(main) {
  main.querySelector('.art').append(await picture(src))
}
