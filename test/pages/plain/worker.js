self.postMessage("BUILD");
