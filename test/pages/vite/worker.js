self.postMessage(import.meta.env.VITE_BUILD);
