self.postMessage(process.env.BUILD);
