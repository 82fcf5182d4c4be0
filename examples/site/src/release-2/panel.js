import { html } from 'lit-html'
import shell from '../shell.png'
import './panel.css'

const file = import.meta.url.split('/').pop()
const depths = [
  ['Rock pool', 0.4],
  ['Holdfast', 2.1],
  ['Sea bed', 5.8],
]

export const panel = () => html`
  <div class="panel">
    <div>
      <p class="result" data-testid="lazy-text">This is the lazy panel of release 2.</p>
      <p>At high tide the kelp stands upright in the water. New in this release: how deep everything lies.</p>
      <ol class="depths">
        ${depths.map(([place, metres]) => html`<li><span>${place}</span> <b>${metres.toFixed(1)} m</b></li>`)}
      </ol>
      <p class="small">${file}</p>
    </div>
    <img src=${shell} width="200" height="160" alt="A scallop shell">
  </div>`
