document.title = "notebook";
