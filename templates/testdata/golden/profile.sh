# Written by zkctl; zkctl install overwrites changes made here.
# Read by every login shell; plain POSIX sh, and harmless when read twice.
case ":${PATH}:" in
  *:/usr/local/bin:*) ;;
  *) PATH="${PATH:+${PATH}:}"/usr/local/bin ;;
esac
case ":${PATH}:" in
  *:'/opt/it'\''s $here':*) ;;
  *) PATH="${PATH:+${PATH}:}"'/opt/it'\''s $here' ;;
esac
export PATH
ZOOCFGDIR=/etc/zkctl
export ZOOCFGDIR
NOTE='it'\''s $x `y`'
export NOTE
