"""Live widgets of a room: one subject, one `.py` for the kernel's side and one `.js` for the browser's."""
