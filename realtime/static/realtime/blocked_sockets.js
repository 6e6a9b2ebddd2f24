/** Remembers, for as long as the window is open, that sockets do not get through here: a reload need not find out anew. */

const NAME = "netra-sockets-blocked";

/** Whether sockets were blocked when this window last tried one. */
export const areSocketsBlocked = () => sessionStorage.getItem(NAME) !== null;

/** Remember whether sockets get through. */
export function noteSockets({ areBlocked }) {
  if (areBlocked) sessionStorage.setItem(NAME, "yes");
  else sessionStorage.removeItem(NAME);
}
