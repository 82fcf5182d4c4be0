import{r as e}from"./vendor-DSWd9xv8.js";var t=new URL(`shell-DawtTsI0.png`,import.meta.url).href,n=import.meta.url.split(`/`).pop(),r=()=>e`
  <figure class="panel">
    <img src=${t} width="200" height="160" alt="A scallop shell">
    <figcaption>
      <p class="result" data-testid="lazy-text">This is the lazy panel of release 1.</p>
      <p>At low tide the rock lies bare, and you can see what the kelp is holding on to.</p>
      <p class="small">${n}</p>
    </figcaption>
  </figure>`;export{r as panel};