import{r as e}from"./vendor-DSWd9xv8.js";var t=3e4;function n(){let e=new Worker(new URL(new URL(`worker-CtWe4Y_f.js`,import.meta.url).href,``+import.meta.url),{type:`module`});return new Promise((n,r)=>{e.onmessage=({data:e})=>n(e),e.onerror=e=>r(Error(e.message||`Failed to fetch the script of the worker.`)),setTimeout(r,t,Error(`The worker did not answer.`)),e.postMessage(`a year of tides`)}).finally(()=>e.terminate())}async function r(){let{release:t,constituents:r,minutes:i,height:a,day:o,milliseconds:s}=await n();return e`
    <p class="result" data-testid="worker-text">
      The worker of release ${t} added up ${r} tidal waves
      for ${i.toLocaleString(`en`)} minutes. The highest tide is ${a.toFixed(2)} m, on day ${o}.
    </p>
    <p class="small">${s} ms</p>`}export{r as highestTide};