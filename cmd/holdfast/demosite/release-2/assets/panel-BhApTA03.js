import{r as e}from"./vendor-DSWd9xv8.js";var t=new URL(`shell-DawtTsI0.png`,import.meta.url).href,n=import.meta.url.split(`/`).pop(),r=[[`Rock pool`,.4],[`Holdfast`,2.1],[`Sea bed`,5.8]],i=()=>e`
  <div class="panel">
    <div>
      <p class="result" data-testid="lazy-text">This is the lazy panel of release 2.</p>
      <p>At high tide the kelp stands upright in the water. New in this release: how deep everything lies.</p>
      <ol class="depths">
        ${r.map(([t,n])=>e`<li><span>${t}</span> <b>${n.toFixed(1)} m</b></li>`)}
      </ol>
      <p class="small">${n}</p>
    </div>
    <img src=${t} width="200" height="160" alt="A scallop shell">
  </div>`;export{i as panel};