import src from './tides.svg'
import { part } from '../part.js'

export const show = (place) => part(place, src, 'High water comes about twelve and a half hours after high water.')
