import { html } from 'lit-html'

// failure is what version skew looks like to whoever pressed the button.
export const failure = (what, error) => html`
  <div class="failure" role="alert" data-testid="failure">
    <p><strong>${what} could not be loaded.</strong></p>
    <p>${error.message}</p>
    <p>This tab runs release ${import.meta.env.RELEASE}, and the server did not give it this file.</p>
  </div>`
