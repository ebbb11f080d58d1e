"""Live widgets of a room. Each subject has one `.py` for the kernel's side and one `.js` for the browser's side."""
