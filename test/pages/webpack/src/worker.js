self.postMessage(BUILD);
