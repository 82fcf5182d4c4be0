import { html } from 'lit-html'
import shell from '../shell.png'
import './panel.css'

const file = import.meta.url.split('/').pop()

export const panel = () => html`
  <figure class="panel">
    <img src=${shell} width="200" height="160" alt="A scallop shell">
    <figcaption>
      <p class="result" data-testid="lazy-text">This is the lazy panel of release 1.</p>
      <p>At low tide the rock lies bare, and you can see what the kelp is holding on to.</p>
      <p class="small">${file}</p>
    </figcaption>
  </figure>`
