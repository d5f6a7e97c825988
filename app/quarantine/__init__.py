"""Events and profile updates that policy holds until an officer has looked at them."""
